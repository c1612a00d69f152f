import { VERSION } from './base/version.ts';

if (process.argv.includes('--version')) process.stdout.write(`gwe ${VERSION}\n`);
