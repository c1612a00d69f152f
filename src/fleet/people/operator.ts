/** A person who has an account: what is kept of one, and what follows from it. */
import type { Grant } from './roles.ts';

export interface Operator {
  readonly name: string;
  readonly grants: readonly Grant[];
  /** Without one the person comes by single sign-on alone. */
  readonly password?: string | undefined;
  /** Made by the platform: nothing else is done before it is changed. */
  readonly mustChange: boolean;
  /** Sealed, but for one of before there was a key. */
  readonly totp?: string | undefined;
  /** A second factor that was begun and not confirmed. */
  readonly totpBegun?: string | undefined;
  /** The time step of the last code that was taken. */
  readonly totpStep: number;
  /** Another one with everything that ends the sessions there are. */
  readonly generation: string;
  /** Unix seconds. */
  readonly createdAt: number;
}

/** What others see of it. */
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

/** Letters, digits, and what addresses of mail have. */
export const OPERATOR_NAME = /^[A-Za-z0-9_.@+-]{1,64}$/;
