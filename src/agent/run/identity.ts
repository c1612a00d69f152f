/** Who this gateway is: serial number from `uuid`, or from the MAC of `iface` (one-platform.md §4.9). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GweError } from '../../base/errors.ts';
import { readTextBounded } from '../../base/fs.ts';
import { type DeviceConfig, saveGatewayConfig } from '../../config/config-files.ts';
import type { AgentContext } from './context.ts';

/**
 * The serial number, and whether it came from the interface and has to be stored in `uuid`.
 * Throws CONFIG_NO_IDENTITY with the command to run; STORE_IO for an interface that is not there (yet).
 */
export function resolveSerial(
  device: DeviceConfig,
  root: string,
): { serial: string; fromInterface: boolean } {
  if (device.uuid !== '') return { serial: device.uuid, fromInterface: false };
  if (device.iface === '') {
    throw new GweError(
      'CONFIG_NO_IDENTITY',
      'cannot run: neither uuid nor iface is set, so this gateway has no serial number; ' +
        "run 'gwe --set-iface eth0' (its MAC becomes the serial) or 'gwe --set-uuid SERIAL'" +
        `${device.model === '' ? " and 'gwe --set-product-id PRODUCT'" : ''}, then start gwe again`,
    );
  }
  const found = interfaceMac(device.iface, root);
  if ('mac' in found) return { serial: found.mac, fromInterface: true };
  throw new GweError(
    'STORE_IO',
    `cannot make a serial number of interface '${device.iface}': ${found.problem}; gwe tries again ` +
      "(set another with 'gwe --set-iface NAME', or a serial number with 'gwe --set-uuid SERIAL')",
  );
}

/** The serial number; one that came from the interface is stored in `uuid`, so that it outlives the interface. */
export function storeSerial(context: Pick<AgentContext, 'device' | 'layout'>): string {
  const { serial, fromInterface } = resolveSerial(context.device(), context.layout.root);
  if (fromInterface) saveGatewayConfig(context.layout.gatewayConfig, { uuid: serial });
  return serial;
}

/** The two that every request of a device needs besides its serial; throws CONFIG_NO_IDENTITY. */
export function requireProduct(device: DeviceConfig): { vendor: string; model: string } {
  if (device.vendor !== '' && device.model !== '') return { vendor: device.vendor, model: device.model };
  throw new GweError(
    'CONFIG_NO_IDENTITY',
    `cannot run: ${device.vendor === '' ? 'vendor' : 'model'} is not set; run 'gwe --set-product-id PRODUCT', ` +
      'then start gwe again',
  );
}

/** All zeros is what drivers say of a card without one, all ones what is sent to everybody. */
const NO_MAC = /^(00(:00)*|ff(:ff)*)$/i;

/** MAC of a network interface, upper case with colons, or why there is none that could be a serial number. */
export function interfaceMac(iface: string, root: string): { mac: string } | { problem: string } {
  const isName = /^[^/\s]{1,64}$/.test(iface) && !iface.startsWith('.');
  const bases = isName ? [join(root, 'sys/class/net'), '/sys/class/net'] : [];
  const base = bases.find((candidate) => existsSync(join(candidate, iface)));
  if (base === undefined) {
    const plain = iface.split('@')[0] ?? '';
    // That is how 'ip link' shows one that sits on another.
    const isShown = isName && plain !== iface && bases.some((at) => existsSync(join(at, plain)));
    const hint = isShown ? `, did you mean '${plain}'?` : " now, see 'ip link'";
    return { problem: `there is no such interface${hint}` };
  }
  const text = readTextBounded(join(base, iface, 'address'), 4096)?.trim() ?? '';
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2})+$/i.test(text))
    return { problem: 'it exists, but has no MAC (point-to-point links have none)' };
  if (NO_MAC.test(text)) return { problem: `its MAC is ${text}, which every such interface has` };
  return { mac: text.toUpperCase() };
}
