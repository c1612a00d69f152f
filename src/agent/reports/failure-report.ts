/**
 * The report of an update that did not succeed: everything that helps to find out why, in a size that any line takes
 * (one-platform.md §4.2; the documented keys first). The whole output of install.sh stays on the gateway.
 */
import { diskSpace } from '../../base/fs.ts';
import { cutText } from '../../base/text.ts';
import { readLoad, readMemory } from '../../machine/facts.ts';
import { createMissing, createSystemFiles } from '../../machine/system-files.ts';
import { type FetchStatus, renderFetchStatus } from '../../protocol/messages.ts';
import type { AgentContext } from '../run/context.ts';
import { trafficInterface } from '../traffic/counter.ts';
import { fitFields } from './report-size.ts';

const MOST_FAILURE_BYTES = 2048;
/** For the end of install.sh's output, before what helps less gets any room. */
const INFO_BYTES = 256;
const LINE_BYTES = 120;
const MOST_LINES = 4;
const REASON_BYTES = 320;

export interface Failing {
  /** As in every report: documented keys and our own. */
  status: FetchStatus & { outcome: string };
  asked: { id: string; sha256?: string | undefined; urgent?: boolean | undefined };
  /** The error and what was behind it, outermost first. */
  causes?: readonly string[] | undefined;
}

/** JSON of at most 2 KiB, or the text of `fetch_status_format=text`. `sequence` counts the failures of this gateway. */
export function renderFailure(
  context: Pick<AgentContext, 'layout' | 'clock' | 'settings' | 'device' | 'clockFloor'>,
  failing: Failing,
  sequence: number,
): string {
  const { status } = failing;
  const { fetchStatusFormat, maxReportBytes } = context.settings();
  if (fetchStatusFormat === 'text')
    return renderFetchStatus({ ...status, seq: sequence }, 'text', maxReportBytes);
  const limitBytes = Math.min(MOST_FAILURE_BYTES, maxReportBytes);
  const { name, version, exitcode, test, info, outcome, tx, command, ...told } = status;
  const { code, phase, reason, notes, ...others } = told;
  const cut = (value: unknown, bytes: number): unknown =>
    typeof value === 'string' ? cutText(value, bytes) : value;
  const fields = fitFields(
    { name, version, status: status.status, exitcode, test: cut(test, REASON_BYTES), info: '' },
    [
      ['outcome', outcome],
      ['tx', tx],
      ['command', command],
      ['seq', sequence],
      ['code', code],
      ['phase', phase],
      ['reason', cut(reason, REASON_BYTES)],
      ['did', whatItDid(outcome, String(others.active ?? ''))],
      ['next', whatComesNext(outcome, String(code ?? ''))],
      ['asked', failing.asked],
      ['lines', failingLines(info)],
      ['system', systemFacts(context)],
      ['causes', failing.causes?.slice(1, 5).map((cause) => cutText(cause, LINE_BYTES))],
      ...Object.entries(others).filter(([key]) => key !== 'status'),
      ['notes', Array.isArray(notes) ? notes.slice(0, 3).map((note) => cut(note, LINE_BYTES)) : undefined],
    ],
    limitBytes - (info === '' ? 0 : INFO_BYTES),
  );
  return renderFetchStatus({ ...(fields as FetchStatus), info }, 'json', limitBytes);
}

const LOOKS_BAD =
  /\b(error|fail(ed|ure|s)?|fatal|cannot|can't|could not|denied|not found|no such|unable|traceback|exception|killed|no space|refused|timed out)\b/i;

/** The first lines that say what went wrong, else the last ones; none for a script that said nothing. */
function failingLines(output: string): string[] | undefined {
  const lines = output.split('\n').flatMap((line) => line.trim() || []);
  const bad = lines.filter((line) => LOOKS_BAD.test(line)).slice(0, MOST_LINES);
  const shown = bad.length > 0 ? bad : lines.slice(-MOST_LINES);
  return shown.length === 0 ? undefined : shown.map((line) => cutText(line, LINE_BYTES));
}

function whatItDid(outcome: string, active: string): string {
  const stays = active === '' ? 'no version is active' : `${active} is active`;
  if (outcome === 'rolled-back') return `undid it; ${stays}`;
  if (outcome === 'rollback-failed') return `tried to undo it and could not;  ${stays}`;
  return `changed nothing; ${stays}`;
}

function whatComesNext(outcome: string, code: string): string {
  if (outcome === 'rollback-failed') return 'nothing more: send a corrected version';
  if (outcome === 'rolled-back') return 'refuses these bytes until another command arrives';
  if (outcome === 'rejected') return 'waits for a usable command';
  return code === 'CANCELLED'
    ? 'works on the newer command'
    : 'waits for another command; what was fetched is kept';
}

/** The state of the system at this moment, without what cannot be read. */
function systemFacts(
  context: Pick<AgentContext, 'layout' | 'clock' | 'device' | 'clockFloor'>,
): Record<string, unknown> {
  const files = createSystemFiles();
  const missing = createMissing();
  const { wallMs } = context.clock;
  return {
    time: Math.round(wallMs() / 1000),
    clock_behind: context.clockFloor.isBelow() || undefined,
    disk_free: quietly(() => diskSpace(context.layout.appsDirectory).freeBytes),
    inodes_free: quietly(() => diskSpace(context.layout.appsDirectory).freeInodes),
    memory_free: readMemory(files, missing)?.facts.availableBytes,
    load: readLoad(files, missing)?.[0],
    interface: quietly(() => trafficInterface(context.device().iface)),
  };
}

function quietly<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
