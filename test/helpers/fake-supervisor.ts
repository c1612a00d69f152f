/** supervisord in memory, as far as gwe uses it. test/conformance shows that it answers as the real one does. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GweError } from '../../src/base/errors.ts';
import { parseIni } from '../../src/base/ini.ts';
import type { ConfigChanges, ProcessInfo, SupervisorClient } from '../../src/supervisor/client.ts';

interface Group {
  /** The program section that it runs by. */
  text: string;
  statename: ProcessInfo['statename'];
  start: number;
}

export interface FakeSupervisor {
  client: SupervisorClient;
  groups: Map<string, Group>;
  /** Throws, once or for ever, before a call is carried out. */
  fault: ((call: string) => Error | undefined) | undefined;
  /** The state that a program takes when it is started; by its section. */
  startsAs(text: string): ProcessInfo['statename'];
}

export function createFakeSupervisor(confDirectory: string): FakeSupervisor {
  let known = new Map<string, string>();
  let starts = 1;
  const groups = new Map<string, Group>();
  const fake: FakeSupervisor = {
    client: undefined as never,
    groups,
    fault: undefined,
    startsAs: (text) => (text.includes('/bin/false') ? 'FATAL' : 'RUNNING'),
  };
  const call = async <T>(name: string, work: () => T): Promise<T> => {
    const error = fake.fault?.(name);
    if (error !== undefined) throw error;
    return work();
  };
  const need = (name: string): Group => {
    const group = groups.get(name);
    if (group === undefined) throw refuse('BAD_NAME', name);
    return group;
  };
  const start = (group: Group): void => {
    group.statename = fake.startsAs(group.text);
    group.start = starts++;
  };
  const stop = (group: Group): void => {
    if (group.statename !== 'RUNNING' && group.statename !== 'STARTING') return;
    group.statename = 'STOPPED';
  };
  fake.client = {
    // No process of this machine says that it was started by it, and so none is ended as what it left.
    address: '/nonexistent/fake-supervisor.sock',
    getApiVersion: () => call('getApiVersion', () => '3.0'),
    getState: () => call('getState', () => 'RUNNING'),
    getPid: () => call('getPid', () => process.pid),
    getAllProcessInfo: () =>
      call('getAllProcessInfo', () => [...groups].map(([name, group]) => describe(name, group))),
    getProcessInfo: (name) => call('getProcessInfo', () => describe(name, need(name))),
    reloadConfig: () =>
      call('reloadConfig', () => {
        known = readPrograms(confDirectory);
        return compare(known, groups);
      }),
    addProcessGroup: (name) =>
      call('addProcessGroup', () => {
        if (groups.has(name)) throw refuse('ALREADY_ADDED', name);
        const text = known.get(name);
        if (text === undefined) throw refuse('BAD_NAME', name);
        const group: Group = { text, statename: 'STOPPED', start: 0 };
        groups.set(name, group);
        if (!/^autostart\s*=\s*false/m.test(text)) start(group);
      }),
    removeProcessGroup: (name) =>
      call('removeProcessGroup', () => {
        const { statename } = need(name);
        if (statename === 'RUNNING' || statename === 'STARTING') throw refuse('STILL_RUNNING', name);
        groups.delete(name);
      }),
    startProcessGroup: (name) => call('startProcessGroup', () => start(need(name))),
    startProcess: (name) => call('startProcess', () => start(need(name))),
    stopProcessGroup: (name) => call('stopProcessGroup', () => stop(need(name))),
    stopProcess: (name) => call('stopProcess', () => stop(need(name))),
    readLogTail: () => call('readLogTail', () => ''),
    getVersion: () => call('getVersion', () => '4.2.5'),
    getReadableProcessInfo: () =>
      call('getAllProcessInfo', () => ({
        rows: [...groups].map(([name, group]) => describe(name, group)),
        unreadable: 0,
      })),
    readOwnLogTail: () => call('readOwnLogTail', () => ''),
  };
  return fake;
}

function describe(name: string, group: Group): ProcessInfo {
  const isUp = group.statename === 'RUNNING';
  return {
    name,
    group: name,
    statename: group.statename,
    pid: isUp ? process.pid : 0,
    exitstatus: 0,
    spawnerr: '',
    start: group.start,
    stop: 0,
    now: group.start,
    description: '',
    stdout_logfile: '',
  };
}

/** Program sections by name, as they are in the files now. */
function readPrograms(confDirectory: string): Map<string, string> {
  const programs = new Map<string, string>();
  for (const file of readdirSync(confDirectory).filter((name) => name.endsWith('.conf'))) {
    const text = readFileSync(join(confDirectory, file), 'utf8');
    for (const { name } of parseIni(text).sections) {
      const program = /^program:(.+)$/.exec(name)?.[1];
      if (program !== undefined) programs.set(program.trim(), text);
    }
  }
  return programs;
}

function compare(known: ReadonlyMap<string, string>, groups: ReadonlyMap<string, Group>): ConfigChanges {
  return {
    added: [...known.keys()].filter((name) => !groups.has(name)),
    changed: [...known].flatMap(([name, text]) => {
      const group = groups.get(name);
      return group !== undefined && group.text !== text ? [name] : [];
    }),
    removed: [...groups.keys()].filter((name) => !known.has(name)),
  };
}

function refuse(fault: string, name: string): GweError {
  return new GweError('SUPERVISOR_REFUSED', `supervisord cannot do it: ${fault}: ${name}`, {
    facts: { fault },
  });
}

/** What the real client throws when supervisord does not answer. */
export function noAnswer(): GweError {
  return new GweError('SUPERVISOR_UNREACHABLE', 'cannot reach supervisord: no answer');
}
