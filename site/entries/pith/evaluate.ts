export * from "../../../src/judge/index.ts";
