/**
 * `simplify` keeps the outputs of networks that try to break it (`adversarial.ts`): 2,000 networks, or `PITH_NETWORKS`. With 20,000 networks, which take
 * ten minutes on one processor, each rule and clean-up must apply at least 50 times.
 *
 *     PITH_NETWORKS=20000 npx vitest run --config vitest.all.config.ts test/generated/adversarial.slow.test.ts --silent=false
 */
import { expect, test } from "vitest";
import { survey } from "./adversarial.ts";

const networks = Number(process.env.PITH_NETWORKS ?? 2000);

test("simplify keeps the outputs of adversarial networks, and all rules apply", { timeout: 7_200_000 }, async () => {
  const { ran, counts, faults } = await survey(networks, Number(process.env.PITH_SEED ?? 1));
  const rows = [...counts].sort((a, b) => a[1] - b[1]).map(([id, count]) => `${id} ${count}`);
  if (process.env.PITH_NETWORKS !== undefined)
    console.log(`${ran} of ${networks} networks ran, ${faults.length} faults\n${rows.join("\n")}`);
  expect(faults).toEqual([]);
  const rare = [...counts].filter(([, count]) => count < Math.floor(networks / 400));
  expect(rare).toEqual([]);
});
