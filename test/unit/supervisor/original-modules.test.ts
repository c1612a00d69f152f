import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  describeImports,
  explainMissingModule,
  findImports,
} from '../../../src/supervisor/original-modules.ts';

test('a failed import of a module of the original is named, by the words of Python 2 and 3', () => {
  const python2 = 'Traceback\nImportError: No module named GatewayEngine.utils\n';
  const python3 = "ModuleNotFoundError: No module named 'exo'\nmake: *** error\n";
  assert.match(
    explainMissingModule(python2),
    /^; the Python module 'GatewayEngine' is the original's: .*pack it/,
  );
  assert.match(explainMissingModule(python3), /'exo' is the original's.*gwe --gateway-cik/);
  for (const other of ['ImportError: No module named exotic', 'exo failed', ''])
    assert.equal(explainMissingModule(other), '');
});

test('imports are found in Python and in shell, and not in comments or in other names', () => {
  const found = [
    'from GatewayEngine.utils import gwe_cik',
    'import os, exo',
    '    import exo.api as api',
    'CIK=$(python -c "from GatewayEngine import utils; print(utils.gwe_cik())")',
    'import exotic',
    '# import exo',
    'from .exo import x',
  ].map((line) => findImports(line).join());
  assert.deepEqual(found, ['GatewayEngine', 'exo', 'exo', 'GatewayEngine', '', '', '']);
});

test('a module that the tarball brings is not missed', () => {
  const imports = new Map([['app.py', findImports('import exo')]]);
  assert.equal(describeImports(imports, new Set(['app.py'])).length, 1);
  for (const path of ['exo.py', 'exo/__init__.py', 'lib/exo/api.py'])
    assert.deepEqual(describeImports(imports, new Set(['app.py', path])), []);
});
