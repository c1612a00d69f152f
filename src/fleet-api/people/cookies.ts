/** Cookies of the platform's own pages: no script can read them, and no page of another site can send them. */

/** The cookie of a session. */
export const SESSION_COOKIE = 'gwe_session';
/** The cookie of a login under way at a provider: the request that brings it back comes from another site. */
export const FLOW_COOKIE = 'gwe_sign_on';

export function readCookie(header: string | undefined, name: string): string | undefined {
  for (const part of (header ?? '').split(';')) {
    const [key, value] = part.trim().split('=');
    if (key === name && value !== undefined && /^[\w.-]{1,256}$/.test(value)) return value;
  }
  return undefined;
}

interface CookieOptions {
  readonly seconds: number;
  readonly isEncrypted: boolean;
  readonly sameSite: 'Strict' | 'Lax';
}

/** The `Set-Cookie` header; an empty value deletes the cookie. */
export function renderCookie(
  name: string,
  value: string,
  { seconds, isEncrypted, sameSite }: CookieOptions,
): string {
  const secure = isEncrypted ? '; Secure' : '';
  return `${name}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=${sameSite}${secure}`;
}
