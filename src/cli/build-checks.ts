/** The checks of a tarball as a developer sees them: the artifact's own, and its program entry as supervisord will. */
import { hostname } from 'node:os';
import { basename } from 'node:path';
import type { ArtifactContents } from '../artifact/contents.ts';
import { type CheckResult, checkArtifact, failed, passed } from '../artifact/layout.ts';
import { type ArtifactLimits, DEFAULT_LIMITS } from '../artifact/limits.ts';
import { matchArtifactName } from '../artifact/name.ts';
import { describeError } from '../base/errors.ts';
import { checkProgramConfig, describeProblem } from '../supervisor/check.ts';
import { renderProgram } from '../supervisor/program.ts';

const PROGRAM_CHECK = 'supervisor.conf makes a program entry';

export interface TarballReport {
  checks: readonly CheckResult[];
  /** What works and may not be meant. */
  warnings: readonly string[];
}

/** Every check that a gateway would make of `file`, as far as a machine that is not the gateway can. */
export async function checkTarballFile(
  file: string,
  limits: ArtifactLimits = DEFAULT_LIMITS,
): Promise<TarballReport> {
  const { checks, contents } = await checkArtifact(file, { limits });
  const source = contents === undefined ? undefined : programSource(contents);
  if (source === undefined) return { checks, warnings: [] };
  const app = matchArtifactName(basename(file))?.name ?? 'app';
  const program = checkProgram(app, source);
  return { checks: [...checks, program.check], warnings: program.warnings };
}

function programSource(contents: ArtifactContents): string | undefined {
  const file = contents.files.get('supervisor.conf');
  return file?.type === 'file' ? file.head.toString('utf8') : undefined;
}

function checkProgram(app: string, source: string): { check: CheckResult; warnings: string[] } {
  try {
    const program = renderProgram(app, source, { logDirectory: '/var/log' });
    const noCommand = program.warnings.find((warning) => warning.kind === 'no-command');
    const [problem] = checkProgramConfig(app, program.text, gatewayContext(source), program.settings);
    const reason = noCommand?.message ?? (problem === undefined ? undefined : describeProblem(problem));
    const warnings = program.warnings
      .filter((warning) => warning !== noCommand)
      .map(({ message }) => message);
    const check =
      reason === undefined ? passed(PROGRAM_CHECK) : failed(PROGRAM_CHECK, reason, 'correct supervisor.conf');
    return { check, warnings };
  } catch (error) {
    return { check: failed(PROGRAM_CHECK, describeError(error), 'correct supervisor.conf'), warnings: [] };
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
