export * from "../../../src/techniques/quantize/index.ts";
