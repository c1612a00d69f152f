/**
 * The web console as the build has put it into the program: text that is not parsed until somebody asks for a page.
 */
import * as v from 'valibot';
import type { StaticFiles } from '../../platform/http/static-files.ts';

declare const GWE_CONSOLE: string | undefined;

const FILES = v.record(v.string(), v.object({ type: v.string(), etag: v.string(), gzip: v.string() }));

/**
 * Run from its sources, gwe has no console. A function is compiled when it is first called, so an agent never parses
 * the text.
 */
export function consoleFiles(): StaticFiles {
  if (typeof GWE_CONSOLE !== 'undefined') return v.parse(FILES, JSON.parse(GWE_CONSOLE));
  return {};
}
