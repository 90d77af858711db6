export * from "../../../src/compress.ts";
