/** What is wrong in a form, in a sentence: the browser's own bubbles do not say what was found, and disappear. */

import { formWords as says } from '../base/form-words.ts';
import { plain } from '../base/format.ts';

/**
 * For a form with `noValidate`: the first field that does not fit is focused, and what is wrong with it is returned.
 * The `title` of a field says what its pattern stands for.
 */
export function problemIn(form: EventTarget | null): string | undefined {
  if (!(form instanceof HTMLFormElement)) return undefined;
  for (const field of form.elements) {
    if (!isField(field) || (field.validity.valid && !isBlank(field))) continue;
    field.focus();
    return says.problem(labelOf(field), foundIn(field), expectedOf(field));
  }
  return undefined;
}

type AnyField = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

function isField(element: Element): element is AnyField {
  return (
    element instanceof HTMLInputElement ||
    element instanceof HTMLTextAreaElement ||
    element instanceof HTMLSelectElement
  );
}

/** Spaces alone are no answer: around what is typed they are taken away. */
function isBlank(field: AnyField): boolean {
  return field.required && field.type !== 'password' && field.value.trim() === '';
}

function labelOf(field: AnyField): string {
  return field.labels?.[0]?.textContent?.trim() ?? '';
}

function foundIn(field: AnyField): string {
  if (field.validity.badInput) return says.noNumber;
  if (field.value === '' || isBlank(field)) return says.nothing;
  // What is typed blindly is not shown either.
  if (field.type === 'password') return says.characters(field.value.length);
  return `'${plain(field.value)}'`;
}

function expectedOf(field: AnyField): string {
  if (field.title !== '') return field.title;
  if (!(field instanceof HTMLInputElement)) return says.something;
  if (field.type === 'number') return says.number(field.min, field.max);
  if (field.validity.tooShort) return says.atLeast(field.minLength);
  return says.something;
}
