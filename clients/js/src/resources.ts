/** The calls that OpenAI's client does not know. */

import type {
  ChatMessage,
  Comparison,
  ComparisonSide,
  ConsentRequest,
  Drafts,
  Edit,
  EditRequest,
  Forgotten,
  Import,
  ImportRequest,
  LearningReport,
  Receipt,
  Rollback,
  RollbackRequest,
  User,
  Users,
  VersionAndAncestry,
  Versions,
} from "./apiTypes.js";
import type { Corll } from "./client.js";

/**
 * What was sent in place of a draft. The draft is named by its id; by the `ref` that the client gave
 * it, as metadata.corll_ref or in the header x-client-request-id; by its text as the client has it;
 * or by the conversation, the draft last. `user` is whose draft it is, where the key speaks for many.
 */
export type EditParams = Omit<EditRequest, "draft_id"> & {
  draft_id?: string;
  ref?: string;
  draft_text?: string;
  messages?: ChatMessage[];
  user?: string;
};

/** Texts that were sent before. */
export type ImportParams = ImportRequest;

/** What can be deleted. */
export type Deletable = "edit" | "draft" | "import" | "texts" | "model" | "user";

/** Which drafts of a user are listed: those that hold `query`, older than `before`. */
export interface DraftFilter {
  user?: string;
  query?: string;
  limit?: number;
  before?: string;
}

class Resource {
  constructor(protected readonly client: Corll) {}
}

/** `client.edits`. */
export class Edits extends Resource {
  /** Say what was sent in place of a draft; the draft's own text accepts it. */
  create(params: EditParams): Promise<Edit> {
    return this.client.send("post", "/edits", { body: params });
  }

  /** Ask for an edit, and whether it was learned from. */
  retrieve(id: string): Promise<Edit> {
    return this.client.send("get", `/edits/${encodeURIComponent(id)}`);
  }
}

/** `client.drafts`. */
export class DraftList extends Resource {
  /** List a user's drafts with their edits, the newest first. */
  list({ user, query, limit, before }: DraftFilter = {}): Promise<Drafts> {
    return this.client.send("get", `${userPath(user)}/drafts`, {
      query: { q: query, limit, before },
    });
  }
}

/** `client.comparisons`. */
export class Comparisons extends Resource {
  /** Say that one choice is better than another; a draft's id stands for its first choice. */
  create(params: {
    chosen: ComparisonSide | string;
    rejected: ComparisonSide | string;
    idempotency_key?: string;
  }): Promise<Comparison> {
    const body = { ...params, chosen: side(params.chosen), rejected: side(params.rejected) };
    return this.client.send("post", "/comparisons", { body });
  }
}

/** `client.imports`. */
export class Imports extends Resource {
  /** Hand over texts that were sent before, to be learned from. */
  create(params: ImportParams): Promise<Import> {
    return this.client.send("post", "/imports", { body: params, maxRetries: 0 });
  }

  /** Ask how far an import is, and what it brought. */
  retrieve(id: string): Promise<Import> {
    return this.client.send("get", `/imports/${encodeURIComponent(id)}`);
  }
}

/** `client.consent`. */
export class Consents extends Resource {
  /** Set the switches that are given; `include_past` lets edits made before be learned from. */
  update({ user, ...switches }: ConsentRequest & { user?: string }): Promise<User> {
    return this.client.send("put", `${userPath(user)}/consent`, { body: switches });
  }

  /** Ask for the user, with the switches as they stand. */
  retrieve({ user }: { user?: string } = {}): Promise<User> {
    return this.client.send("get", userPath(user));
  }
}

/** `client.users`. */
export class UserList extends Resource {
  /** Make a user before their first draft, with what they agree to from the start. */
  create(params: { name: string; consent?: ConsentRequest }): Promise<User> {
    return this.client.send("post", "/users", { body: params });
  }

  /** Ask for a user, and what serves them. */
  retrieve(user?: string): Promise<User> {
    return this.client.send("get", userPath(user));
  }

  /** List the users that the key may see. */
  list(): Promise<Users> {
    return this.client.send("get", "/users");
  }

  /** Ask what learning brought a user. */
  learning(user?: string): Promise<LearningReport> {
    return this.client.send("get", `${userPath(user)}/learning`);
  }
}

/** `client.versions`. */
export class VersionList extends Resource {
  /** List a user's versions, and which one serves. */
  list(user?: string): Promise<Versions> {
    return this.client.send("get", `${userPath(user)}/adapters`);
  }

  /** Ask for a version, and what it stems from. */
  retrieve(number: number, { user }: { user?: string } = {}): Promise<VersionAndAncestry> {
    return this.client.send("get", `${userPath(user)}/adapters/${number}`);
  }

  /** Serve an earlier version again; 0 is the reference. */
  rollBack({ user, ...body }: RollbackRequest & { user?: string }): Promise<Rollback> {
    return this.client.send("post", `${userPath(user)}/adapters/rollback`, { body });
  }
}

/** `client.deletions`. */
export class Deletions extends Resource {
  /**
   * Delete an edit, a draft or an import by its id, or of a user all texts, the model, or all.
   * A dry run changes nothing: its receipt says what would be undone, and the cost.
   */
  create(
    kind: Deletable,
    id = "me",
    { dry_run = false }: { dry_run?: boolean } = {},
  ): Promise<Forgotten> {
    const named = encodeURIComponent(id);
    const under = kind === "texts" || kind === "model";
    const path = under ? `/users/${named}/${kind}` : `/${kind}s/${named}`;
    // Once it is gone, a second request would not find it.
    return this.client.send(
      "delete",
      path,
      dry_run ? { query: { dry_run: true } } : { maxRetries: 0 },
    );
  }

  /** Ask for the receipt of a deletion, as it stands. */
  retrieve(id: string): Promise<Receipt> {
    return this.client.send("get", `/deletions/${encodeURIComponent(id)}`);
  }
}

function side(given: ComparisonSide | string): ComparisonSide {
  return typeof given === "string" ? { draft_id: given } : given;
}

function userPath(user?: string): string {
  return `/users/${encodeURIComponent(user ?? "me")}`;
}
