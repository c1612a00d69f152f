import { useId } from 'preact/hooks';
import { settingWords as says } from '../base/admin-words.ts';

/** A secret that is shown once: focusing it selects the whole, for copying. */
export function Secret({ label, value }: { label: string; value: string }) {
  const id = useId();
  return (
    <p class="secret" role="status">
      <label for={id}>{label}</label>{' '}
      <input
        id={id}
        readOnly
        value={value}
        size={Math.min(60, value.length)}
        onFocus={(event) => event.currentTarget.select()}
      />{' '}
      <strong>{says.once}</strong>
    </p>
  );
}
