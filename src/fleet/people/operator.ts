/** A person who has an account: what is stored, and what follows from it. */
import type { Grant } from './roles.ts';

export interface Operator {
  readonly name: string;
  readonly grants: readonly Grant[];
  /** Without a password the person can sign in only by single sign-on. */
  readonly password?: string | undefined;
  /** The password was made by the platform: nothing else is allowed until it is changed. */
  readonly mustChange: boolean;
  /** Sealed, except where it was stored before the platform had a key. */
  readonly totp?: string | undefined;
  /** The secret of a second factor that was begun and not yet confirmed. */
  readonly totpBegun?: string | undefined;
  /** The time step of the last code that was accepted. */
  readonly totpStep: number;
  /** Replaced by each change that ends the existing sessions. */
  readonly generation: string;
  /** Unix seconds. */
  readonly createdAt: number;
}

/** What others may see of an account. */
export function showOperator({ name, grants, createdAt, ...secret }: Operator): Record<string, unknown> {
  return {
    name,
    grants,
    createdAt,
    hasPassword: secret.password !== undefined,
    hasSecondFactor: secret.totp !== undefined,
    mustChangePassword: secret.mustChange,
  };
}

/** Letters, digits, and the signs that occur in mail addresses. */
export const OPERATOR_NAME = /^[A-Za-z0-9_.@+-]{1,64}$/;
