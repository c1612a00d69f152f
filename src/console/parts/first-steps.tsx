/** From an empty product to the first app that runs: five steps, each with a tick when it is done. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { stepWords as says } from '../base/admin-words.ts';
import { useConsole, useLoaded, useMay } from '../base/context.ts';
import { object } from '../base/decode.ts';
import { describeEvent, plain } from '../base/format.ts';
import { CONTENT, EVENTS, GATEWAYS, type Gateway } from '../base/replies.ts';
import { Confirm, type Question } from './confirm.tsx';
import { Form } from './form.tsx';
import { Time } from './time.tsx';
import { UploadBox } from './upload.tsx';

/** Whoever has a larger fleet knows these steps. */
const MOST = 100;
const MOST_EVENTS = 5;

export function FirstSteps({ close, say }: { close: () => void; say: (text: string) => void }) {
  const { api, product } = useConsole();
  const may = useMay();
  const path = `/products/${encodeURIComponent(product)}`;
  const found = useLoaded(`${path} first steps`, () =>
    Promise.all([
      api.read(`${path}/devices?limit=${MOST}`, GATEWAYS),
      api.read(`${path}/content?limit=${MOST}`, CONTENT),
      api.read(`${path}/events?limit=1000`, EVENTS),
    ]),
  ).value;
  const gateways = found?.[0].devices ?? [];
  const artifacts = (found?.[1].content ?? []).filter(
    ({ app, isUploaded }) => app !== undefined && isUploaded,
  );
  const events = (found?.[2].events ?? []).slice(-MOST_EVENTS).toReversed();
  const heard = gateways.filter(({ lastSeenAt }) => lastSeenAt > 0);
  const running = gateways.flatMap(({ serial, apps }) =>
    [...apps].map(([app, { version, status }]) => says.runs(app, version, status, serial)),
  );
  return (
    <section aria-labelledby="steps" class="steps">
      <h2 id="steps">{says.title}</h2>
      <ol>
        <Step title={says.serials} isDone={gateways.length > 0} said={says.known(gateways.length)}>
          {may('gateway.import') && <AddSerials say={say} />}
        </Step>
        <Step title={says.setUp} isDone={heard.length > 0} said="">
          <pre>{setUpLines(product)}</pre>
          <p class="hint">{says.setUpHint}</p>
        </Step>
        <Step
          title={says.heard}
          isDone={heard.length > 0}
          said={gateways.length === 0 ? '' : says.heardSaid(heard.length, gateways.length)}
        />
        <Step
          title={says.upload}
          isDone={artifacts.length > 0}
          said={plain(artifacts.map(({ id }) => id).join(', '))}
        >
          <p class="hint">{says.buildHint}</p>
          <pre>{says.build}</pre>
          {may('content.write') && <UploadBox done={() => undefined} />}
        </Step>
        <Step title={says.install} isDone={running.length > 0} said={plain(running.join('; '))} isLast>
          <Install ids={artifacts.map(({ id }) => id)} heard={heard} />
        </Step>
      </ol>
      {events.length > 0 && (
        <>
          <h3>{says.happened}</h3>
          <ul class="timeline">
            {events.map((event) => (
              <li key={event.id}>
                <Time at={event.at} /> {plain(event.serial)}: {describeEvent(event)}
              </li>
            ))}
          </ul>
        </>
      )}
      {running.length > 0 && (
        <button type="button" onClick={close}>
          {says.close}
        </button>
      )}
    </section>
  );
}

/** The commands for the gateway; the platform's address is a guess that the operator has to check. */
function setUpLines(product: string): string {
  return [
    `gwe --set-product-id ${plain(product)} --set-iface eth0`,
    `gwe --set-platform-url ${location.origin}`,
    'gwe service install',
  ].join('\n');
}

interface StepProps {
  readonly title: string;
  readonly isDone: boolean;
  readonly said: string;
  /** Its contents stay visible when it is done. */
  readonly isLast?: boolean;
  readonly children?: ComponentChildren;
}

function Step({ title, isDone, said, isLast = false, children }: StepProps) {
  return (
    <li class={isDone ? 'done' : ''}>
      <h3>
        {title} {isDone && <span class="state succeeded">{says.done}</span>}
      </h3>
      <p role="status">{said}</p>
      {(!isDone || isLast) && children}
    </li>
  );
}

function AddSerials({ say }: { say: (text: string) => void }) {
  const { api, product, refresh } = useConsole();
  const add = async (of: (name: string) => string): Promise<void> => {
    const serials = of('serials')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
    const quoted = serials.map((serial) => `"${serial.replaceAll('"', '""')}"`);
    const { rows } = await api.change({
      method: 'POST',
      path: `/products/${encodeURIComponent(product)}/devices/import?enable=true`,
      text: `serial\r\n${quoted.join('\r\n')}\r\n`,
      decoder: object({ rows: (value) => Number(value) }),
    });
    say(says.added(rows));
    refresh();
  };
  return (
    <Form
      fields={[{ name: 'serials', label: says.serials, lines: 4, hint: says.serialsHint }]}
      action={says.add}
      submit={add}
    />
  );
}

function Install({ ids, heard }: { ids: readonly string[]; heard: readonly Gateway[] }) {
  const { api, product, refresh } = useConsole();
  const may = useMay();
  const [question, setQuestion] = useState<Question>();
  const [commanded, setCommanded] = useState('');
  if (ids.length === 0 || heard.length === 0) return <p class="hint">{says.nothingHeard}</p>;
  if (!may('gateway.command')) return null;
  const install = (id: string): Question => ({
    ask: says.installAsk(plain(id), heard.length),
    action: says.install,
    typed: heard.length,
    async run() {
      const body = { artifacts: [id], serials: heard.map(({ serial }) => serial) };
      const path = `/products/${encodeURIComponent(product)}/devices/install`;
      await api.change({ method: 'POST', path, body, decoder: object({}) });
      setCommanded(says.commanded);
      refresh();
    },
  });
  return (
    <>
      <p class="actions">
        {ids.map((id) => (
          <button key={id} type="button" onClick={() => setQuestion(install(id))}>
            {says.installOn(plain(id), heard.length)}
          </button>
        ))}
      </p>
      <p role="status">{commanded}</p>
      {question !== undefined && <Confirm question={question} close={() => setQuestion(undefined)} />}
    </>
  );
}
