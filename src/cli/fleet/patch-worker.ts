/** `gwe platform worker`: makes the patches that a platform asks for, on any machine with time and memory for it. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import { renderArtifactName } from '../../artifact/name.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { removeTree } from '../../base/remove-tree.ts';
import {
  type Bounds,
  fetchContent,
  indexOf,
  lowerPriority,
  type MadePatch,
  patchFrom,
} from '../platform/pair-patch.ts';
import { CLIENT_OPTIONS, pathSegment } from '../platform/platform-options.ts';
import { uploadFile } from '../platform/platform-upload.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { printRemark, renderBytes } from '../shell/screen.ts';
import { callFleet } from './fleet-client.ts';

const LOOK_MS = 10_000;
const AGAIN_MS = 30_000;
/** The platform gives a patch to another worker after half an hour. */
const MOST_MINUTES = 20;

export const workerCommand: CommandSpec = {
  path: ['platform', 'worker'],
  positionals: [],
  summary: 'Make the patches that a platform asks for, one after the other, at a lower priority',
  options: [
    { name: 'once', help: 'end when there is none to make' },
    { name: 'minutes', value: 'COUNT', help: `for one patch, 1 to ${MOST_MINUTES}`, default: '15' },
    { name: 'memory', value: 'MIB', help: 'for one patch', default: 'half of what this machine has' },
    ...CLIENT_OPTIONS.filter(({ name }) => name !== JSON_OPTION.name),
  ],
  run: work,
};

const JOB = v.object({
  patch: v.nullable(
    v.looseObject({
      id: v.string(),
      product: v.string(),
      app: v.string(),
      version: v.string(),
      from: v.string(),
      gateways: v.number(),
    }),
  ),
});
type Job = NonNullable<v.InferOutput<typeof JOB>['patch']>;

async function work(call: CommandCall): Promise<number> {
  const { clock, signal } = call.io;
  const bounds = boundsOf(call);
  const isOnce = call.options.has('once');
  const worker = randomBytes(8).toString('hex');
  lowerPriority();
  while (!signal.aborted) {
    try {
      const job = await claim(call, worker);
      if (job !== null) await makeOne(call, job, bounds);
      else if (isOnce) return 0;
      else await clock.sleep(LOOK_MS, signal);
    } catch (error) {
      if (signal.aborted) return 0;
      if (isOnce || !(error instanceof GweError && error.isTransient)) throw error;
      printRemark(call.io, `${describeError(error)}; tries again in ${AGAIN_MS / 1000} s`);
      await clock.sleep(AGAIN_MS, signal);
    }
  }
  return 0;
}

function boundsOf({ options }: CommandCall): Bounds {
  const minutes = wholeOf(options.text('minutes') ?? '15', 'minutes');
  if (minutes > MOST_MINUTES)
    throw new GweError('USAGE_BAD_VALUE', `cannot use --minutes ${minutes}: expected 1 to ${MOST_MINUTES}`);
  const memory = options.text('memory');
  const memoryBytes = memory === undefined ? totalmem() / 2 : wholeOf(memory, 'memory') * 1024 * 1024;
  return { longestMs: minutes * 60_000, memoryBytes };
}

function wholeOf(text: string, option: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot use --${option} '${text}': expected a whole number from 1 on`,
  );
}

async function claim(call: CommandCall, worker: string): Promise<Job | null> {
  const what = 'ask for a patch to make';
  return (await callFleet(call, JOB, { method: 'POST', path: '/patches/claim', body: { worker }, what }))
    .patch;
}

/**
 * A fault of the pair is reported, and is final. If the platform cannot be reached, nothing can be reported, and
 * another worker gets the job.
 */
async function makeOne(call: CommandCall, job: Job, bounds: Bounds): Promise<void> {
  const { io } = call;
  const name = `a patch from ${job.from} to ${job.app} ${job.version} of ${job.product}`;
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-worker-'));
  try {
    const made = await makePatch(call, job, scratch, bounds);
    if ('without' in made) {
      await tellEnd(call, job, {
        state: 'without',
        reason: made.without.replace(/\p{Cc}/gu, ' ').slice(0, 300),
      });
      printRemark(
        io,
        `no patch from ${job.from} to ${job.app} ${job.version} of ${job.product}: ${made.without}`,
      );
      return;
    }
    const id = basename(made.file);
    await uploadFile(call, made.file, { product: job.product, id });
    const { chunkedBytes, patchedBytes } = made;
    await tellEnd(call, job, { state: 'made', name: id, chunkedBytes, patchedBytes });
    io.stdout(
      `${name} saves ${renderBytes(chunkedBytes - patchedBytes)} on each of ${job.gateways} gateways\n`,
    );
  } finally {
    removeTree(scratch);
  }
}

async function makePatch(
  call: CommandCall,
  { product, app, version, from }: Job,
  scratch: string,
  bounds: Bounds,
): Promise<MadePatch | { readonly without: string }> {
  const id = renderArtifactName({ name: app, version });
  const file = join(scratch, id);
  if (!(await fetchContent(call, product, { id, file })))
    return { without: `'${id}' is not in the content area` };
  const next = indexOf(file);
  if (next === undefined) return { without: `'${id}' was packed without chunks` };
  return patchFrom(call, from, { product, file, next, scratch }, bounds);
}

async function tellEnd(
  call: CommandCall,
  { product, id }: Job,
  body: Record<string, unknown>,
): Promise<void> {
  const path = `/products/${pathSegment(product)}/patches/${pathSegment(id)}/end`;
  await callFleet(call, v.looseObject({ id: v.string() }), {
    method: 'POST',
    path,
    body,
    what: 'tell of a patch',
  });
}
