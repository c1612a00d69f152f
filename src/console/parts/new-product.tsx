import { stepWords as says } from '../base/admin-words.ts';
import { useConsole } from '../base/context.ts';
import { object } from '../base/decode.ts';
import { formWords } from '../base/form-words.ts';
import { go } from '../base/route.ts';
import { Form } from './form.tsx';

/** Makes a product, and opens it. */
export function NewProduct({ made }: { made: (name: string) => void }) {
  const { api, renew } = useConsole();
  const make = async (of: (name: string) => string): Promise<void> => {
    const name = of('product');
    const path = `/products/${encodeURIComponent(name)}`;
    await api.change({ method: 'PUT', path, decoder: object({}) });
    await renew();
    made(name);
    go({ product: name });
  };
  return (
    <Form
      fields={[
        {
          name: 'product',
          label: says.product,
          hint: says.productHint,
          more: { pattern: '[A-Za-z0-9_.\\-]{1,64}', title: formWords.tag },
        },
      ]}
      action={says.makeProduct}
      submit={make}
    />
  );
}
