/** `--download-latest AREA`: the newest release package, into the working directory; its path on stdout. */
import { GweError } from '../../base/errors.ts';
import { VERSION } from '../../base/version.ts';
import { loadEngineConfig } from '../../config/config-files.ts';
import { fetchLatest } from '../../protocol/release.ts';
import { createTransport } from '../../protocol/transport.ts';
import type { Layout } from '../../store/layout.ts';
import type { CommandIo } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { openGateway } from '../shell/open-gateway.ts';
import { absolutePath } from '../shell/path.ts';
import { openMeter } from '../shell/progress-bar.ts';

export async function downloadLatest(io: CommandIo, layout: Layout, area: string): Promise<number> {
  const settings = loadEngineConfig(layout.engineConfig).values;
  if (!URL.canParse(settings.releaseUrl) || !/^https?:/.test(settings.releaseUrl)) {
    throw new GweError(
      'CONFIG_INVALID',
      `cannot download from area '${area}': release_url is '${settings.releaseUrl}', expected a URL; ` +
        "set it with 'gwe --set release_url=https://HOST/PATH'",
    );
  }
  const { ledger } = openGateway(io, layout);
  const optional = (key: string, value: string) => (value === '' ? {} : { [key]: value });
  const meter = openMeter(io, area, false);
  const path = await fetchLatest({
    releaseUrl: settings.releaseUrl,
    area,
    directory: absolutePath(io, '.'),
    maxBytes: settings.maxArtifactBytes,
    signal: io.signal,
    onProgress: (done, total) => (total === undefined ? undefined : meter.move(done, total)),
    connect: (baseUrl) =>
      createTransport(
        {
          baseUrl,
          userAgent: settings.userAgent === '' ? `GatewayEngine-v${VERSION}` : settings.userAgent,
          timeoutMs: settings.httpTimeoutS * 1000,
          allowInsecureHttp: settings.insecureHttp,
          env: io.env,
          ...optional('caFile', settings.caFile),
        },
        { clock: io.clock, onTraffic: (traffic) => ledger.add(traffic) },
      ),
  }).finally(() => {
    meter.end();
    ledger.save();
  });
  io.stdout(`${path}\n`);
  return EXIT.ok;
}
