export { type FactorizeOptions, factorize } from "./factorize.ts";
export { lora } from "./lora.ts";
