export * from "../../../src/techniques/recover/index.ts";
