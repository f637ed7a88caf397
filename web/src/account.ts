/** The user as the server knows them, kept fresh by what happens. */

import { ask } from "./api";
import type { ConsentRequest, UserAndLearner } from "./apiTypes";
import { Observed } from "./observed";

export const user = new Observed<UserAndLearner | null>(null);

export async function refreshUser(): Promise<UserAndLearner> {
  const found = await ask<UserAndLearner>("GET", "/v1/users/me");
  user.set(found);
  return found;
}

export async function changeConsent(change: ConsentRequest): Promise<void> {
  await ask("PUT", "/v1/users/me/consent", change);
  await refreshUser();
}
