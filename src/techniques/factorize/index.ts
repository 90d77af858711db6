export { factorize } from "./factorize.ts";
export type { FactorizeOptions } from "./options.ts";
