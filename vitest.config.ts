import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["pith-source", "node"] },
  ssr: { resolve: { conditions: ["pith-source", "node"], externalConditions: ["pith-source", "node"] } },
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "examples/**/*.test.ts"],
    // ONNX Runtime blocks its thread and holds native memory: a process per file gives both back.
    pool: "forks",
    testTimeout: 60_000,
  },
});
