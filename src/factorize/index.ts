export { factorize, factorizeOptions } from "./factorize.ts";
