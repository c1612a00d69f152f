import { rmSync, writeFileSync } from 'node:fs';
import type * as http from 'node:http';
import { join } from 'node:path';
import type { CheckedTransaction } from '../../src/update/journal.ts';
import type { EffectContext, EffectResult, UpdateEffects } from '../../src/update/ports.ts';
import type { WorkingState } from '../../src/update/state-machine.ts';
import type { DiskFaults } from './disk-faults.ts';
import { noAnswer } from './fake-supervisor.ts';
import type { FaultProxy, Relayed } from './fault-proxy.ts';
import type { World } from './matrix-world.ts';

/** The ways in which the crash matrix cuts a state short. */

export const FAULTS = [
  'kill before',
  'kill after',
  'kill twice',
  'kill at five starts',
  'EIO',
  'ENOSPC',
  'EROFS',
  'short write',
  'dropped socket',
  'hang',
] as const;
export type FaultName = (typeof FAULTS)[number];

/** What a fault works on. */
export interface Tools {
  disk: DiskFaults;
  /** Between the gateway and the platform. */
  line: FaultProxy;
  /** What the content area holds for the update. */
  tarball: Buffer;
}

/** Starts that are cut before the state's work has begun. */
const EARLY_KILLS: Partial<Record<FaultName, number>> = {
  'kill before': 1,
  'kill twice': 2,
  'kill at five starts': 5,
};

export function isFetching(state: WorkingState): boolean {
  return state === 'planned' || state === 'downloading';
}

/** The effects with the fault in `state`, at start number `start`; `die` never comes back. */
export function spoil(
  tools: Tools,
  world: World,
  effects: UpdateEffects,
  at: { state: WorkingState; fault: FaultName; start: number },
  die: () => Promise<never>,
): UpdateEffects {
  const { state, fault, start } = at;
  const work = effects[state];
  const spoiled = async (effect: EffectContext<CheckedTransaction>): Promise<EffectResult> => {
    if (start <= (EARLY_KILLS[fault] ?? 0)) return die();
    if (start > 1) return work(effect);
    switch (fault) {
      case 'kill after':
        await work(effect);
        return die();
      case 'EIO':
      case 'ENOSPC':
      case 'EROFS':
      case 'short write':
        return breakDisk(tools, world, fault, () => work(effect));
      case 'dropped socket':
        return dropSocket(tools, world, state, () => work(effect));
      case 'hang':
        return hang(tools, world, state, () => work(effect), die);
      default:
        return work(effect);
    }
  };
  return { ...effects, [state]: spoiled };
}

async function breakDisk<T>(
  { disk }: Tools,
  world: World,
  fault: 'EIO' | 'ENOSPC' | 'EROFS' | 'short write',
  work: () => Promise<T>,
): Promise<T> {
  const broken = { code: fault === 'short write' ? 'short' : fault, hits: 0 } as const;
  disk.set(world.root, broken);
  try {
    return await work();
  } finally {
    disk.set(world.root, undefined);
    world.hits += broken.hits;
  }
}

/** The connection goes away in the first answer: the platform's in the states that fetch, else supervisord's. */
async function dropSocket<T>(
  { line, tarball }: Tools,
  world: World,
  state: WorkingState,
  work: () => Promise<T>,
): Promise<T> {
  if (isFetching(state))
    return withLineFault(line, world, (request, response) => {
      beginAnswer(request, response, tarball);
      setTimeout(() => response.destroy(), 20);
    })(work);
  let isDropped = false;
  world.supervisor.fault = () => {
    if (isDropped) return undefined;
    isDropped = true;
    world.hits++;
    return noAnswer();
  };
  try {
    return await work();
  } finally {
    world.supervisor.fault = undefined;
  }
}

/**
 * Whatever the state waits for does not come: the platform's answer, supervisord's, or the end of install.sh. Its own
 * deadline ends that. The states that wait for nothing hang until somebody kills gwe.
 */
async function hang<T>(
  { line, tarball }: Tools,
  world: World,
  state: WorkingState,
  work: () => Promise<T>,
  die: () => Promise<never>,
): Promise<T> {
  if (isFetching(state))
    return withLineFault(line, world, (request, response) => beginAnswer(request, response, tarball))(work);
  if (state === 'verified' || state === 'staged') return die();
  world.hits++;
  world.clock.isImpatient = true;
  world.supervisor.fault = (call) =>
    state === 'installing' || call === 'readLogTail' ? undefined : noAnswer();
  if (state === 'installing') writeFileSync(join(world.root, 'hang'), '');
  try {
    return await work();
  } finally {
    world.supervisor.fault = undefined;
    world.clock.isImpatient = false;
    rmSync(join(world.root, 'hang'), { force: true });
  }
}

/** The first request meets the fault, the others get through. */
function withLineFault(
  line: FaultProxy,
  world: World,
  fault: (request: Relayed, response: http.ServerResponse) => void,
): <T>(work: () => Promise<T>) => Promise<T> {
  return async (work) => {
    let isOver = false;
    line.setFault((request, response) => {
      if (isOver) return false;
      isOver = true;
      world.hits++;
      fault(request, response);
      return true;
    });
    try {
      return await work();
    } finally {
      line.setFault(undefined);
    }
  };
}

/** Half of what is asked for of a tarball, or of any other request nothing at all. */
function beginAnswer(request: Relayed, response: http.ServerResponse, tarball: Buffer): void {
  if (!request.path.includes('/provision/download') || request.path.includes('info=true')) return;
  const [, from = '0', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const last = to === '' ? tarball.length - 1 : Number(to);
  const part = tarball.subarray(Number(from), last + 1);
  const headers = { 'content-length': part.length };
  if (request.headers.range === undefined) response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${last}/${tarball.length}` });
  response.write(part.subarray(0, part.length >> 1));
}
