/** A platform as a service of this machine: executable and unit put in place and taken away. Can be repeated. */
import { existsSync, lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { copyFileDurable, digestFile, ensureDirectory, removeFileDurable, swapLink } from '../base/fs.ts';
import { platformService } from '../store/layout.ts';
import { act, putText, requireOwn, type ServiceOptions, textOf } from './actions.ts';
import { systemctl } from './managers.ts';
import { isPlatformUnit } from './platform-unit.ts';

const UNIT = 'gwe-platform.service';

type Options = Pick<ServiceOptions, 'layout' | 'isDryRun' | 'clock' | 'say'>;

export function isPlatformInstalled({ layout }: Pick<Options, 'layout'>): boolean {
  return isPlatformUnit(textOf(platformService(layout).unit) ?? '');
}

/** `source` is the executable, `text` the unit. Throws STORE_IO for a unit of that name that gwe did not write. */
export async function installPlatform(options: Options, source: string, text: string): Promise<void> {
  const { executable, unit, link } = platformService(options.layout);
  requireOwn(unit, isPlatformInstalled(options));
  const isSame = existsSync(executable) && digestFile(executable) === digestFile(source);
  if (isSame) options.say(`keep ${executable}`);
  else
    await act(options, `copy ${executable}`, () => {
      ensureDirectory(dirname(executable));
      copyFileDurable(source, executable, 0o755);
    });
  const isWritten = await putText(options, unit, text, 0o644);
  if (lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() === true) options.say(`keep ${link}`);
  else
    await act(options, `link ${link}`, () => {
      ensureDirectory(dirname(link));
      swapLink(`../${UNIT}`, link);
    });
  if (isWritten) await systemctl(options, 'daemon-reload');
  await systemctl(options, isWritten || !isSame ? 'restart' : 'start', UNIT);
}

/** What the platform keeps stays. */
export async function uninstallPlatform(options: Options): Promise<void> {
  const { executable, unit, link } = platformService(options.layout);
  if (!isPlatformInstalled(options)) {
    options.say(`nothing to remove: no platform is installed as a service on '${options.layout.root}'`);
    return;
  }
  await systemctl(options, 'stop', UNIT);
  for (const path of [link, unit, executable])
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined)
      await act(options, `remove ${path}`, () => removeFileDurable(path));
  await systemctl(options, 'daemon-reload');
  options.say('keep /var/lib/gwe-platform');
}
