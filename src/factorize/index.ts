export { type FactorizeOptions, factorize } from "./factorize.ts";
