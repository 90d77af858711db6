export { factorize } from "./factorize.ts";
export { lora } from "./lora.ts";
export type { FactorizeOptions } from "./options.ts";
