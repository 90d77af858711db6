export * from "../../../src/techniques/distill/index.ts";
