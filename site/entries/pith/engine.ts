export * from "../../../src/core/engine/index.ts";
