/**
 * The first script of an executable: starts gwe from its text and from what V8 has made of the functions of a check-in
 * (warm-up.mjs). The cache that the runtime makes by itself holds none that is called later than at once.
 */
'use strict';
const { getRawAsset } = require('node:sea');
const { Script } = require('node:vm');

// esbuild writes ASCII alone.
const text = Buffer.from(getRawAsset('gwe.js')).latin1Slice();
const cachedData = Buffer.from(getRawAsset('gwe.cache'));
new Script(text, { filename: 'gwe.js', cachedData }).runInThisContext()(require);
