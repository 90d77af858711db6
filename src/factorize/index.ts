export { factorize } from "./factorize.ts";
