export * from "../../../src/techniques/factorize/index.ts";
