/** Put in by the build (esbuild's define); not there when the sources run as they are. */
declare const GWE_VERSION: string | undefined;
declare const GWE_BUILD_TIME: number | undefined;

/** gwe's own version as in package.json, or `dev` when run from source. */
export const VERSION: string = typeof GWE_VERSION === 'undefined' ? 'dev' : GWE_VERSION;

/** When the sources of this build were committed, Unix seconds; 0 when run from source. */
export const BUILD_TIME_S: number = typeof GWE_BUILD_TIME === 'undefined' ? 0 : GWE_BUILD_TIME;
