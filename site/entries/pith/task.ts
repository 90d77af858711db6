export * from "../../../src/judge/task/index.ts";
