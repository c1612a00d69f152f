/**
 * Unpacks a tarball while it comes down, into the staging directory of its transaction. What goes wrong with that is no
 * failure: the tarball is kept, and unpacked as a file when all of it is here, with whatever there is to be said.
 */
import type { ArtifactContents } from '../../artifact/unpack/contents.ts';
import { openTarballUnpacking, type TarballUnpacking } from '../../artifact/unpack/tarball-unpacking.ts';
import { describeError } from '../../base/errors.ts';
import { diskSpace } from '../../base/fs.ts';
import { removeStaging, resetStaging } from '../../store/versions.ts';
import type { Transaction } from '../../update/journal.ts';
import { acceptTree } from '../admission/accept-tree.ts';
import { createAdmission } from '../admission/admission.ts';
import { artifactLimits } from '../admission/artifact-limits.ts';
import type { AgentContext } from '../run/context.ts';
import type { Item } from './item.ts';

interface UnpackBeside {
  /** Takes over a piece, which nobody else may use any more. The next one waits for a promise that it returns. */
  write(piece: Buffer): Promise<void> | undefined;
  /** What came is not what the tarball begins with after all. */
  drop(): void;
  /** All of it came: what `acceptTree` says, or `undefined` where the tarball is to be unpacked as a file. */
  end(): Promise<Partial<Transaction> | undefined>;
  close(): Promise<void>;
}

type Context = Pick<
  AgentContext,
  'layout' | 'clock' | 'log' | 'gweVersion' | 'settings' | 'installed' | 'supervisor' | 'clockFloor'
>;

/** For a tarball of which nothing is here yet; `undefined` where there is no room for both, or the runtime cannot. */
export function openUnpackBeside(
  context: Context,
  transaction: Transaction,
  { info }: Pick<Item, 'info'>,
): UnpackBeside | undefined {
  const { app, id, version } = transaction;
  const directory = resetStaging(context.layout, app, id);
  const settings = context.settings();
  const freeBytes = diskSpace(directory).freeBytes - settings.diskReserveBytes - info.sizeBytes;
  if (freeBytes <= 0) return undefined;
  const limits = artifactLimits(settings);
  const unpacking = openTarballUnpacking(directory, {
    sizeBytes: info.sizeBytes,
    limits: { ...limits, unpackedBytes: Math.min(limits.unpackedBytes, freeBytes) },
    admit: createAdmission(context, { name: app, version }),
  });
  if (unpacking === undefined) return undefined;
  return new Beside(context, transaction, { directory, info, unpacking });
}

interface Parts {
  directory: string;
  info: Item['info'];
  unpacking: TarballUnpacking;
}

class Beside implements UnpackBeside {
  readonly #context: Context;
  readonly #transaction: Transaction;
  readonly #parts: Parts;
  #isDropped = false;

  constructor(context: Context, transaction: Transaction, parts: Parts) {
    this.#context = context;
    this.#transaction = transaction;
    this.#parts = parts;
  }

  write(piece: Buffer): Promise<void> | undefined {
    if (this.#isDropped) return undefined;
    try {
      return this.#parts.unpacking.write(piece)?.catch((error: unknown) => this.#giveUp(error));
    } catch (error) {
      this.#giveUp(error);
      return undefined;
    }
  }

  drop(): void {
    this.#isDropped = true;
  }

  async end(): Promise<Partial<Transaction> | undefined> {
    const { unpacking, directory } = this.#parts;
    if (this.#isDropped) return undefined;
    try {
      const contents = await unpacking.end();
      if (!this.#isAsPromised(contents)) return undefined;
      const learnt = await acceptTree(this.#context, this.#transaction, {
        directory,
        contents,
        digest: contents.digest,
        tarballSha256: contents.compressedSha256,
      });
      return { ...learnt, isUnpacked: true };
    } catch (error) {
      this.#giveUp(error);
      return undefined;
    }
  }

  async close(): Promise<void> {
    await this.#parts.unpacking.close();
    if (this.#isDropped) removeStaging(this.#context.layout, this.#transaction.app, this.#transaction.id);
  }

  /** Another digest than sha256 is computed from the file. */
  #isAsPromised({ compressedSha256 }: ArtifactContents): boolean {
    const { digest } = this.#parts.info;
    const isAsPromised =
      digest === undefined ||
      (digest.algorithm === 'sha256' && digest.hex.toLowerCase() === compressedSha256);
    if (!isAsPromised) this.drop();
    return isAsPromised;
  }

  #giveUp(error: unknown): void {
    this.drop();
    this.#context.log.debug('unpack.as-file', { tx: this.#transaction.id }, describeError(error));
  }
}
