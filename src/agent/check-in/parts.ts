/** What the steps of a check-in share. */
import type { DataApi } from '../../protocol/data.ts';
import type { CommandStore } from '../../store/command.ts';
import type { Delivery } from '../reports/delivery.ts';
import type { ReportMemory } from '../reports/sent.ts';
import type { AgentLock } from '../run/agent-lock.ts';
import type { AgentContext } from '../run/context.ts';
import type { PollMemory } from './poll-memory.ts';

export interface CheckInParts {
  context: AgentContext;
  data: DataApi;
  commands: CommandStore;
  memory: ReportMemory;
  delivery: Delivery;
  polls: PollMemory;
  lock: Pick<AgentLock, 'require'>;
  startedMs: number;
}
