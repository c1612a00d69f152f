/** Put in by the build (esbuild's define); not there when the sources run as they are. */
declare const GWE_VERSION: string | undefined;

/** gwe's own version as in package.json, or `dev` when run from source. */
export const VERSION: string = typeof GWE_VERSION === 'undefined' ? 'dev' : GWE_VERSION;
