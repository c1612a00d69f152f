/** Calls of `/gwe/v2` from the command line: JSON both ways, refusals in the platform's own words. */
import * as v from 'valibot';
import { GweError } from '../../base/errors.ts';
import { firstLine } from '../platform/platform-client.ts';
import { openClient } from '../platform/platform-options.ts';
import type { CommandCall } from '../shell/command.ts';

interface FleetCall {
  method: string;
  /** The path below `/gwe/v2`. */
  path: string;
  body?: unknown;
  /** For the error: `cannot ${what}: ...`. */
  what: string;
}

const PROBLEM = v.object({ detail: v.string() });

/**
 * The answer, decoded by its schema. Throws PROTOCOL_REFUSED with the platform's words, PROTOCOL_GARBAGE for any
 * other answer.
 */
export async function callFleet<T>(
  call: CommandCall,
  schema: v.GenericSchema<unknown, T>,
  { method, path, body, what }: FleetCall,
): Promise<T> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const reply = await openClient(call).call(method, `/gwe/v2${path}`, text);
  if (reply.status >= 400) {
    const detail = detailOf(reply.text);
    // Some refusals begin with what was asked for.
    const shown = detail.startsWith(`cannot ${what}`) ? detail : `cannot ${what}: ${detail}`;
    throw new GweError('PROTOCOL_REFUSED', shown);
  }
  const parsed = v.safeParse(schema, parse(reply.text));
  if (parsed.success) return parsed.output;
  throw new GweError(
    'PROTOCOL_GARBAGE',
    `cannot ${what}: the answer is not one of a gwe platform; check the URL`,
  );
}

function detailOf(text: string): string {
  const problem = v.safeParse(PROBLEM, parse(text));
  return firstLine(problem.success ? problem.output.detail : text);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** `?name=value&...` of the values that are given; empty if there are none. */
export function queryOf(values: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(values).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, value]],
  );
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}
