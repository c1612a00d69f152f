/**
 * `gwe patch` and `--patch-from`: what a gateway fetches instead of the chunks that it does not have.
 *
 * `patch --json` prints {version, old, new, fullBytes, chunkedBytes, patchedBytes, patchBytes, file}; `file` is absent
 * where a patch does not pay.
 */
import { basename } from 'node:path';
import { ASKING_BYTES, makePairPatch, type PairResult } from '../../artifact/patch/pair.ts';
import type { CommandIo, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { absolutePath } from '../shell/path.ts';
import { openMeter } from '../shell/progress-bar.ts';
import { printDocument, renderBytes, renderSpan } from '../shell/screen.ts';

export const patchCommand: CommandSpec = {
  path: ['patch'],
  positionals: ['OLD', 'NEW'],
  summary:
    'make a patch that turns one version of an app into the next: a small file to upload beside the new tarball, for gateways ' +
    'that have the old one',
  options: [
    {
      name: 'output',
      short: 'o',
      value: 'FILE',
      help: 'where to write it; gateways find it by its default name',
      default: 'beside NEW',
    },
    JSON_OPTION,
  ],
  async run({ io, options, positionals: [oldFile = '', newFile = ''] }) {
    const output = options.text('output');
    const isJson = options.has('json');
    const result = await patchPair(io, absolutePath(io, oldFile), absolutePath(io, newFile), {
      isQuiet: isJson,
      ...(output === undefined ? {} : { output: absolutePath(io, output) }),
    });
    if (isJson) printDocument(io, { old: oldFile, new: newFile, ...result });
    else printSizes(io, result);
    return EXIT.ok;
  },
};

export interface PatchPairOptions {
  output?: string;
  isQuiet: boolean;
}

/** Makes one patch, and shows on stderr what it will take and its progress. */
export async function patchPair(
  io: CommandIo,
  oldFile: string,
  newFile: string,
  { output, isQuiet }: PatchPairOptions,
): Promise<PairResult> {
  const meter = openMeter(io, 'making the patch', isQuiet);
  try {
    return await makePairPatch(oldFile, newFile, {
      signal: io.signal,
      ...(output === undefined ? {} : { output }),
      onPlan({ missingBytes, textBytes, memoryBytes, seconds }) {
        if (isQuiet) return;
        const what = `${renderBytes(missingBytes)} of new content against ${renderBytes(textBytes)} of ${basename(oldFile)}`;
        io.stderr(
          `${what}: takes about ${renderBytes(memoryBytes)} of memory and up to ${renderSpan(seconds * 1000)}\n`,
        );
      },
      onProgress: (done, total) => meter.move(done, total),
    });
  } finally {
    meter.end();
  }
}

/** Sizes as a gateway with the old version would fetch them, and where the patch is. */
export function printSizes(
  io: CommandIo,
  sizes: PairResult,
  print: (text: string) => void = io.stdout,
): void {
  const { fullBytes, chunkedBytes, patchedBytes, file } = sizes;
  const row = (label: string, bytes: number): string =>
    `${label.padEnd(8)} ${String(bytes).padStart(12)} bytes\n`;
  print(row('full', fullBytes) + row('chunked', chunkedBytes) + row('patched', patchedBytes));
  if (file !== undefined) print(`wrote ${file}\n`);
  else print(`no patch written: ${lackOfSaving(chunkedBytes - patchedBytes)}\n`);
}

export function lackOfSaving(savedBytes: number): string {
  if (savedBytes <= 0) return 'it would save nothing over chunks';
  return `it would save ${savedBytes} bytes over chunks, and requesting it costs ${ASKING_BYTES}`;
}
