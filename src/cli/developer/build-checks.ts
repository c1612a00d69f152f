/** The checks of a tarball as a developer sees them: the artifact's own, and its program entry as supervisord will. */
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { DEFAULT_LIMITS } from '../../artifact/limits.ts';
import { matchArtifactName } from '../../artifact/name.ts';
import { describeAdjustment } from '../../artifact/tar/adjustments.ts';
import { type CheckResult, checkArtifact, failed, passed } from '../../artifact/unpack/checks.ts';
import type { ArtifactContents } from '../../artifact/unpack/contents.ts';
import { describeError } from '../../base/errors.ts';
import { describeImports } from '../../supervisor/original-modules.ts';
import { renderProgram } from '../../supervisor/program.ts';
import { checkProgramConfig, describeProblem } from '../../supervisor/program-check.ts';
import { watchScripts } from './packed-scripts.ts';
import { checkCommand, checkHealthScript } from './start-checks.ts';

const PROGRAM_CHECK = 'supervisor.conf makes a program entry';

interface TarballReport {
  checks: readonly CheckResult[];
  /** What works and may not be meant. */
  warnings: readonly string[];
}

/** Every check that a gateway would make of `file` under `name`, as far as a machine that is not the gateway can. */
export async function checkTarballFile(file: string, name = basename(file)): Promise<TarballReport> {
  const reader = watchScripts();
  const options = { limits: DEFAULT_LIMITS, isElsewhere: true, ...reader.watch };
  const { checks, contents } = await checkArtifact(file, options, name);
  const scripts = reader.finish();
  const notes = [
    ...(contents?.adjustments ?? []).map(describeAdjustment),
    ...describeImports(scripts.imports, scripts.paths),
  ];
  if (contents === undefined) return { checks, warnings: notes };
  const place = { scripts, rootPrefix: contents.rootPrefix };
  const health = checkHealthScript(place);
  const all = { checks: [...checks, ...health.checks], warnings: [...health.warnings, ...notes] };
  const source = programSource(contents);
  if (source === undefined) return all;
  const app = matchArtifactName(name)?.name ?? 'app';
  const has = (path: string): boolean => scripts.paths.has(join(contents.rootPrefix, path));
  const program = checkProgram(app, source, has);
  const start = checkCommand(place, program.command);
  return {
    checks: [...all.checks, program.check, ...start.checks],
    warnings: [...program.warnings, ...start.warnings, ...all.warnings],
  };
}

function programSource(contents: ArtifactContents): string | undefined {
  const file = contents.files.get('supervisor.conf');
  return file?.type === 'file' ? file.head.toString('utf8') : undefined;
}

function checkProgram(
  app: string,
  source: string,
  has: (path: string) => boolean,
): { check: CheckResult; warnings: string[]; command: string } {
  try {
    const program = renderProgram(app, source, {
      logDirectory: '/var/log',
      // `./x` stays as it is, for the directory is the gateway's business.
      version: { directory: '.', has },
    });
    const noCommand = program.warnings.find((warning) => warning.kind === 'no-command');
    const [problem] = checkProgramConfig(app, program.text, gatewayContext(source), program.settings);
    const reason = noCommand?.message ?? (problem === undefined ? undefined : describeProblem(problem));
    const warnings = program.warnings
      .filter((warning) => warning !== noCommand)
      .map(({ message }) => message);
    const check =
      reason === undefined ? passed(PROGRAM_CHECK) : failed(PROGRAM_CHECK, reason, 'correct supervisor.conf');
    const command = program.settings.find(({ key }) => key === 'command')?.value ?? '';
    return { check, warnings, command: noCommand === undefined ? command : '' };
  } catch (error) {
    const check = failed(PROGRAM_CHECK, describeError(error), 'correct supervisor.conf');
    return { check, warnings: [], command: '' };
  }
}

/** The gateway's users, directories and environment are not known here: only the gateway can judge these. */
function gatewayContext(source: string): Parameters<typeof checkProgramConfig>[2] {
  const names = [...source.matchAll(/%\(ENV_([^)]+)\)/g)].map((match) => match[1] ?? '');
  return {
    userExists: () => true,
    directoryExists: () => true,
    confDirectory: '/etc/supervisor/conf.d',
    hostName: hostname(),
    environment: Object.fromEntries(names.map((name) => [name, '1'])),
  };
}
