/** The user as the server knows them, kept fresh by what happens. */

import { ask } from "./api";
import { Observed } from "./observed";

export interface Consent {
  store: boolean;
  learn: boolean;
  share: boolean;
}

export interface User {
  id: string;
  name: string;
  consent: Consent;
  holdback: number;
  waiting: number;
  serving: number | null;
  preferences_per_step: number;
  learner: "off" | "starting" | "ready" | "down";
}

export const user = new Observed<User | null>(null);

export async function refreshUser(): Promise<User> {
  const found = await ask<User>("GET", "/v1/users/me");
  user.set(found);
  return found;
}

export interface ConsentChange extends Partial<Consent> {
  holdback?: number;
  include_past?: boolean;
}

export async function changeConsent(change: ConsentChange): Promise<void> {
  await ask("PUT", "/v1/users/me/consent", change);
  await refreshUser();
}
