/** `pinned-program.mjs OUTPUT`: a large program that is the same on every machine, the runtime that gwe has on x64. */
import { copyFileSync } from 'node:fs';
import { pinnedRuntime } from '../../../src/packaging/runtimes.mjs';

copyFileSync(await pinnedRuntime('linux-x64'), process.argv[2]);
