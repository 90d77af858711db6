import { describe, expect, test } from "vitest";
import { evilName, exampleRun, layerNames } from "../../../test/app/report/example-run.ts";
import { faults, scripts } from "../../../test/app/report/well-formed.ts";
import type { Run } from "../../judge/record/run-record.ts";
import { benchCommand } from "../../judge/record/shell-command.ts";
import type { Spread } from "../../runtime/run/latency.ts";
import { summarize } from "./choice.ts";
import { escapeText } from "./markup.ts";
import { reportPage } from "./report-page.ts";

const page = reportPage(exampleRun);

/** The example with another speed of what was chosen. */
function withSpeed(speedup: Spread): Run {
  const { latency, chosen = 0 } = exampleRun;
  if (latency === undefined) throw new Error("The example has no times.");
  const models = latency.models.map((one, index) =>
    index === chosen + 1 && one !== undefined ? { ...one, speedup } : one,
  );
  return { ...exampleRun, latency: { ...latency, models } };
}

describe("a report", () => {
  test("is well-formed and loads no external resources", () => {
    expect(faults(page)).toEqual([]);
    expect(page).toContain("default-src 'none'");
  });

  test("starts with the gain, the loss and its confidence", () => {
    expect(page).toContain("<h1>7.86 × smaller and 2.20 × as fast (most runs: 1.98–2.34).</h1>");
    expect(page).toContain('<span class="badge doubt">needs more samples</span>');
    expect(page.replace(/<span class="flag">(.*?)<\/span>/g, "$1")).toContain(
      "Accuracy went from 92.6 % to 91.9 %. Lost 0.7 points of accuracy (95 % interval −1.9 … +0.5 points; goal: lose at most 1.0 points). The estimate meets the goal; the interval does not exclude a larger loss. About 1,500 samples would narrow the interval to ±1.0 points, but there are only 1,000.",
    );
    expect(page.indexOf("<h1>")).toBeLessThan(page.indexOf("<svg"));
    expect(page.indexOf("<svg")).toBeLessThan(page.indexOf("<table"));
  });

  test("names a step that changed nothing, with the reason", () => {
    const misses = [{ at: "conv1", reason: "10 % of its 16 channels is less than half of a block of 4 channels" }];
    const variants = exampleRun.variants.map(({ steps, ...variant }) => ({
      ...variant,
      steps: steps.map((step) => ({ ...step, changes: [], misses })),
    }));
    const { name } = variants[exampleRun.chosen ?? 0]?.steps[0] ?? {};
    const sentence = `${name} changed nothing: conv1: ${misses[0]?.reason}.`;
    expect(page).not.toContain("changed nothing");
    expect(summarize({ ...exampleRun, variants }).sentences).toContain(sentence);
  });

  test("has a column for zeros only if weights are sparse", () => {
    const variants = exampleRun.variants.map((one) => ({
      ...one,
      result: one.result && { ...one.result, zeros: 0.9 },
    }));
    expect(page).not.toContain(">zeros<");
    expect(reportPage({ ...exampleRun, variants })).toMatch(
      />zeros<.*<td class="n" data-label="zeros">0\.0 %<.*>90\.0 %</s,
    );
  });

  test("has its sections in order, from the chart to the steps", () => {
    const parts = [
      "<svg",
      "Variants",
      "Samples with different predictions",
      "Layers changed most",
      "Rejected candidates",
      "Skipped layers",
      "Setup",
      "Steps",
    ];
    const places = parts.map((part) => page.indexOf(part === "<svg" ? part : `<h2>${part}`));
    expect(places.every((place) => place > 0)).toBe(true);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
  });

  test("shows samples with different predictions: images as images, texts and numbers as text", () => {
    expect(page.match(/<img alt="" width="16" height="16" src="data:image\/png;base64,/g)).toHaveLength(1);
    expect(page).toContain(`<blockquote>${escapeText(`I liked it. ${evilName}`)}</blockquote>`);
    expect(page).toContain(`${escapeText(evilName)}: 0.25, -1.5, … 30 in all`);
    expect(page).toContain('original: <b class="good">class\u00a03 ✓</b><br>result: <b class="bad">class\u00a05 ✗</b>');
    expect(page).toContain("original: <b>class\u00a02</b><br>result: <b>nothing</b>");
  });

  test("shows class names of the data as escaped text", () => {
    const named = reportPage({ ...exampleRun, data: { ...exampleRun.data, classes: { 3: "cat", 5: evilName } } });
    expect(faults(named)).toEqual([]);
    expect(named).toContain(
      `original: <b class="good">cat ✓</b><br>result: <b class="bad">${escapeText(evilName)} ✗</b>`,
    );
    expect(named).toContain("label <b>cat</b>");
    expect(named).toContain("original: <b>class\u00a02</b><br>result: <b>nothing</b>");
  });

  test.each([
    ["quarters and eighths of the original", [1_090_000, 300_000, 290_000, 280_000, 140_000]],
    ["next to the original's", [1_090_000, 1_085_000, 1_080_000]],
    ["a thousandth", [1_090_000, 1_000]],
    ["all equal", [1_090_000, 1_090_000]],
  ])("spreads sizes over the chart if they are %s", (_, [original = 0, ...sizes]) => {
    const [like] = exampleRun.variants;
    if (like?.result === undefined) throw new Error("The example has no variant.");
    const { result } = like;
    const variants = sizes.map((size) => ({ ...like, result: { ...result, bytes: size } }));
    const run: Run = { ...exampleRun, original: { ...exampleRun.original, bytes: original }, variants, chosen: 0 };
    const [chart = ""] = /<svg class="chart broad" viewBox="0 0 (\d+).*?<\/svg>/s.exec(reportPage(run)) ?? [];
    const width = Number(/viewBox="0 0 (\d+)/.exec(chart)?.[1]);
    const xs = [...chart.matchAll(/<circle cx="([\d.]+)"/g)].map(([, x]) => Number(x) / width);
    expect(xs).toHaveLength(1 + sizes.length);
    const equal = new Set(sizes).size === 1 && sizes[0] === original;
    expect(Math.max(...xs) - Math.min(...xs)).toBeGreaterThan(equal ? -1 : 0.6);
    expect(Math.min(...xs)).toBeGreaterThan(0.08);
    expect(Math.max(...xs)).toBeLessThan(0.98);
  });

  test("omits an image whose address is not inline", () => {
    const shown = { kind: "image", address: "https://example.org/x.png", width: 1, height: 1 } as const;
    const html = reportPage({
      ...exampleRun,
      disagreements: [{ sample: 1, label: 1, original: 1, variant: 2, shown }],
    });
    expect(html).not.toContain("<img");
    expect(html).not.toContain("example.org");
  });

  test("lists layers with the lowest signal to noise first, with their graph positions", () => {
    const table = /<h2>Layers changed most[\s\S]*?<\/table>/.exec(page)?.[0] ?? "";
    const decibels = [...table.matchAll(/>([\d.]+) dB</g)].map(([, value]) => value);
    expect(decibels).toEqual(["13.0", "22.0", "31.0"]);
    expect(table).toContain('<td class="n">4</td><td class="text"><span class="name">fc</span>');
    expect(page).toContain("1 layer is exactly equal.");
    const [first, ...otherLayers] = exampleRun.noise?.layers ?? [];
    if (first === undefined || exampleRun.noise === undefined) throw new Error("The example has no noise.");
    const louder = { ...exampleRun.noise, layers: [{ ...first, signalToNoise: -3.25 }, ...otherLayers] };
    expect(reportPage({ ...exampleRun, noise: louder })).toMatch(/>−3\.[23] dB</);
    expect(page).toContain("Not compared: the model has no such layer (1).");
  });

  test("has a row for each variant, and a chart point for each result", () => {
    const rows =
      /<h2>Variants<\/h2>[\s\S]*?<\/table>/.exec(page)?.[0].replace(/<span class="flag">|<\/span>/g, "") ?? "";
    expect(rows.match(/<tr class/g)).toHaveLength(1 + exampleRun.variants.length);
    for (const text of ["3.46 MB", "930 kB", "1.60 MB", "440 kB", "405 kB", "91.2 % … 94.6 %", "1.20 ×", "2.20 ×"])
      expect(rows).toContain(text);
    const charts = page.match(/<svg class="chart (broad|narrow)".*?<\/svg>/gs) ?? [];
    expect(charts.map((chart) => chart.match(/<g class="point/g)?.length)).toEqual([4, 4]);
  });

  test("names every layer, and escapes a name that contains a script", () => {
    for (const name of layerNames) expect(page).toContain(`<span class="name">${escapeText(name)}</span>`);
    expect(page).not.toContain(evilName);
    expect(scripts(page)).toEqual([]);
  });

  test("lists rejected variants with the reason, and groups equal reasons", () => {
    expect(page).toContain("nothing changed: every layer was rejected");
    expect(page).toContain("quantize: rank below 41 needed to pay");
    expect(page.match(/rank below 41/g)).toHaveLength(1);
    expect(page).toContain("2 places");
    expect(page).toContain("kept in float (per-layer override)");
  });

  test("lists what is needed to reproduce the run: machine, versions, seed and command", () => {
    for (const text of [
      "AMD EPYC 7R13",
      "pith 0.1.0, node 20.20.2, onnxruntime-node 1.30.0",
      "<dt>seed</dt><dd>1</dd>",
    ])
      expect(page).toContain(text);
    expect(page).toContain("pith compress resnet56.onnx --data &#39;my photos/&#39; --max-drop 1% -o out/");
  });

  test("marks variants by outcome, and labels MACs that equal the original's as unchanged", () => {
    expect(page.match(/<td class="key">.*?<\/td>/g)).toEqual(
      ["", "✓", "✗", "", "✓"].map((mark) => `<td class="key">${mark}</td>`),
    );
    for (const text of [">original</text>", ">quantize</text>"]) expect(page).toContain(text);
    const [, , , chosen] = exampleRun.variants;
    const macs = chosen?.result?.macs;
    const same = reportPage({ ...exampleRun, original: { ...exampleRun.original, macs } });
    expect(same).toContain("<small>unchanged</small>");
    expect(same).not.toContain("from 60.0 M");
  });

  test("ends with the next commands to run", () => {
    expect(page).toContain(
      "npx --no-install pith bench resnet56.onnx model.onnx\nnpx --no-install pith eval model.onnx --original resnet56.onnx --data",
    );
    const paths = { original: "nets/model.onnx", result: "out/model.onnx" };
    const placed = reportPage({ ...exampleRun, paths });
    expect(placed).toContain(
      "npx --no-install pith bench nets/model.onnx out/model.onnx\nnpx --no-install pith eval out/model.onnx --original nets/model.onnx",
    );
  });

  test("quotes file names in commands, and names the runtimes that commands need", () => {
    const files = ["a b.onnx", "out/model.onnx"];
    expect(benchCommand(files)).toBe("pith bench 'a b.onnx' out/model.onnx");
    expect(benchCommand(files, ["node"])).toBe("pith bench 'a b.onnx' out/model.onnx");
    expect(benchCommand(files, ["node", "wasm"])).toBe("pith bench 'a b.onnx' out/model.onnx --target node,wasm");
    const page = reportPage({ ...exampleRun, targets: ["node"] });
    expect(page).toMatch(/\nnpx --no-install pith eval \S+ --original \S+ --data other-samples\/ --target node</);
    expect(page).not.toMatch(/pith bench .* --target/);
  });

  test("counts the samples that differ among the evaluated ones", () => {
    const variants = exampleRun.variants.map((variant) => ({
      ...variant,
      agreement: { value: 0.9, low: 0.87, high: 0.92, count: 667, confidence: 0.95 },
    }));
    expect(reportPage({ ...exampleRun, variants })).toContain("of the 67 samples on which original and result differ");
  });

  test("escapes every text of a run", () => {
    const poison = <T>(value: T): T => {
      if (typeof value === "string") return `${value}${evilName}` as T;
      if (Array.isArray(value)) return value.map(poison) as T;
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, poison(part)])) as T;
    };
    const { metric, ...rest } = exampleRun;
    const poisoned: Run = { ...poison(rest), metric: { ...metric, name: `accuracy${evilName}` } };
    const html = reportPage(poisoned);
    expect(html).not.toContain(evilName);
    expect(faults(html)).toEqual([]);
  });
});

test("gives the original no interval if the metric is agreement with the original", () => {
  const { original, variants } = exampleRun;
  const perfect = { value: 1, low: 0.98, high: 1, count: 200, confidence: 0.95 };
  const compared = variants.map((variant) => ({
    ...variant,
    ...(variant.comparison && { comparison: { ...variant.comparison, truth: "original" as const } }),
  }));
  const html = reportPage({ ...exampleRun, original: { ...original, estimate: perfect }, variants: compared });
  expect(html).not.toContain("98.0 % … 100");
  expect(html).toContain("The original agrees with itself by definition.");
  expect(html).toMatch(/<g class="point original"><title>original<\/title><circle/);
  expect(page).toMatch(/<g class="point original"><title>original<\/title><line class="own"/);
  expect(page).not.toContain("by definition");
});

test("names the confidence of both intervals in the caption of the chart", () => {
  const variants = exampleRun.variants.map((variant) => ({
    ...variant,
    ...(variant.comparison && {
      comparison: { ...variant.comparison, difference: { ...variant.comparison.difference, confidence: 0.9875 } },
    }),
  }));
  expect(reportPage({ ...exampleRun, variants })).toContain(
    "Thin line: 95 % confidence interval of its accuracy. Thick line: 98.8 % confidence interval of its difference",
  );
});

test("breaks no line inside a flag", () => {
  const html = reportPage({ ...exampleRun, warnings: ["int8 dynamic is smaller: --for size keeps it"] });
  expect(html).toContain('<span class="flag">--for</span> size keeps it');
});

describe("a report of another outcome", () => {
  const without: Run = { ...exampleRun, chosen: undefined, latency: undefined, disagreements: [] };

  test("states why nothing was kept, and shows the changes of the nearest variant", () => {
    const rejected = { code: "E_ACCURACY_LOST", message: "Quantize was chosen, and not kept." } as const;
    const html = reportPage({ ...exampleRun, chosen: undefined, latency: undefined, rejected, examined: 3 });
    expect(html).toContain("<h1>Nothing was kept: every candidate was rejected.</h1>");
    expect(html).toContain(`<span class="badge bad">rejected</span> ${rejected.message}</p>`);
    expect(html).toContain("on which original and prune + train + quantize differ, spread over them");
    expect(html).toContain("at the output of each layer, prune + train + quantize compared with the original,");
    expect(html).not.toContain("<h2>Next</h2>");
    expect(faults(html)).toEqual([]);
  });

  test("ends an agreement axis at 100 %, and gives nearly equal sizes different ticks", () => {
    const { original, variants } = exampleRun;
    const perfect = { value: 1, low: 0.839, high: 1, count: 20, confidence: 0.95 };
    const sized = (bytes: number) => ({ ...original, bytes, estimate: perfect });
    const html = reportPage({
      ...exampleRun,
      goal: undefined,
      original: sized(1_094_554),
      variants: variants.slice(0, 1).map((one) => ({ ...one, comparison: undefined, result: sized(1_094_030) })),
      chosen: 0,
    });
    const chart = html.slice(html.indexOf("<svg"), html.indexOf("</svg>"));
    const ticks = Array.from(chart.matchAll(/<text [^>]*>([\d.]+) (%|MB)<\/text>/g), ([, value, unit]) => [
      unit,
      value,
    ]);
    const percents = ticks.flatMap(([unit, value]) => (unit === "%" ? [Number(value)] : []));
    expect(Math.max(...percents)).toBe(100);
    const sizes = ticks.flatMap(([unit, value]) => (unit === "MB" ? [value] : []));
    expect(sizes.length).toBeGreaterThan(2);
    expect(new Set(sizes).size).toBe(sizes.length);
    expect(html).toContain("<h1>About as large (1.09 MB)");
  });

  test("states that the result of a single recipe was rejected", () => {
    const html = reportPage({ ...without, variants: exampleRun.variants.slice(0, 1) });
    expect(html).toContain("<h1>The result was rejected.</h1>");
    expect(faults(html)).toEqual([]);
  });

  test("is well-formed without machine, command, goal and layer errors", () => {
    const { noise: _, ...rest } = exampleRun;
    const bare: Run = { ...rest, machine: undefined, command: undefined, goal: undefined };
    const html = reportPage(bare);
    expect(faults(html)).toEqual([]);
    for (const word of ["undefined", "NaN", "Infinity", "changed most", "pith compress"])
      expect(html).not.toContain(word);
  });

  test("prints a speed below 1 if the result is slower", () => {
    const slow = withSpeed({ median: 0.5, low: 0.45, high: 0.55 });
    const html = reportPage({ ...slow, original: { ...exampleRun.original, bytes: 220_000 } });
    expect(html).toContain("<h1>2.00 × larger and 0.50 × as fast (most runs: 0.45–0.55).</h1>");
  });

  test("reports no clear difference if the percentiles of the speed contain 1", () => {
    const headline = (median: number, low: number, high: number): string | undefined =>
      /<h1>(.*)<\/h1>/.exec(reportPage(withSpeed({ median, low, high })))?.[1];
    expect(headline(0.32, 0.05, 2.65)).toBe("7.86 × smaller; 0.05–2.65 × as fast (undecided).");
    expect(headline(0.34, 0.2, 0.41)).toBe("7.86 × smaller and 0.34 × as fast (most runs: 0.20–0.41).");
    expect(headline(1.38, 1.05, 1.8)).toBe("7.86 × smaller and 1.38 × as fast (most runs: 1.05–1.80).");
  });

  test("warns that a value is optimistic if the same samples chose the variant", () => {
    expect(page).toContain(
      "The same samples chose and evaluated the result. Expect a slightly worse value in practice.",
    );
    const [, , , only] = exampleRun.variants;
    const alone = { ...exampleRun, variants: only === undefined ? [] : [only], chosen: 0 };
    expect(reportPage(alone)).not.toContain("chose and evaluated");
  });

  test("counts validation and test samples separately, and shows the drop on validation samples", () => {
    const [first, ...otherVariants] = exampleRun.variants;
    const comparison = first?.comparison;
    if (first === undefined || comparison === undefined) throw new Error("The example has a variant.");
    const drop = { value: 0.012, low: 0, high: 0.03, count: 333, confidence: 0.95 };
    const { original } = comparison;
    const candidate = { ...original, value: original.value - 0.012 };
    const worse = { ...comparison, candidate, difference: { ...drop, value: -0.012 } };
    const verdict = { verdict: "undecided", met: false, drop } as const;
    const validation = { comparison: worse, verdict, lost: undefined };
    const shown = reportPage({
      ...exampleRun,
      data: { ...exampleRun.data, validation: 333 },
      variants: [{ ...first, validation }, ...otherVariants],
    });
    expect(shown).toContain("333 validation samples chose it among 3 candidates, and the test samples evaluated it.");
    expect(shown).toContain("validation 333, test 667");
    expect(shown).toContain("−1.2 points on the validation samples");
    expect(page).not.toContain("on the validation samples");
  });

  describe("of a search", () => {
    const point = { speed: 1.1, seconds: 12, isOnFront: true, recipe: "steps:\n  - quantize: { bits: 4 }\n" };
    const points = [
      { ...point, name: "4 bits", bytes: 165_000, drop: 0.003, interval: { low: -0.003, high: 0.009 } },
      { ...point, name: evilName, bytes: 300_000, drop: 0.004, isOnFront: false },
      { ...point, name: "2 bits", bytes: 90_000, drop: 0.6, isOnFront: false },
      { ...point, name: "broken", isOnFront: false, rejected: "it is not smaller than the original" },
    ];
    const html = reportPage({ ...exampleRun, search: { samples: 500, apart: true, points } });

    test("lists all candidates in a table, with their recipes", () => {
      expect(faults(html)).toEqual([]);
      expect(html).toContain("Measured on 500 samples, which are not among those of the candidates above.");
      for (const { name } of points) expect(html).toContain(`<summary>${escapeText(name)}</summary>`);
      expect(html).toContain("quantize: { bits: 4 }");
      expect(html).toContain("it is not smaller than the original");
    });

    test("draws candidates with a small drop as points that link to their rows", () => {
      const links = [
        ...html.slice(0, html.indexOf("</svg>")).matchAll(/<a href="#(searched-\d)"><circle class="searched (front)?/g),
      ];
      expect(links.map(([, id, front]) => [id, front])).toEqual([
        ["searched-0", "front"],
        ["searched-1", undefined],
      ]);
      for (const [, id] of links) expect(html).toContain(`<tr id="${id}"`);
    });

    test("shows sizes after brotli if candidates are compared by them", () => {
      expect(html).toContain(">size of the file");
      const smaller = points.map((one) => ({ ...one, ...("bytes" in one && { brotli: one.bytes / 3 }) }));
      const page = reportPage({ ...exampleRun, search: { samples: 500, apart: true, points: smaller } });
      expect(page).toContain(">size after brotli");
      expect(page).not.toContain(">size of the file");
      expect(page).toContain('<th class="n">brotli</th>');
      expect(page).toContain("<title>4 bits: 55.0 kB");
    });
  });

  test("stays below 300 KB with thousands of changed and skipped layers", () => {
    const names = Array.from({ length: 3000 }, (_, index) => `model.decoder.layers.${index}.self_attn.q_proj`);
    const misses = names.map((at, index) => ({ at, reason: `rank below ${index % 7} needed to pay` }));
    const changes = names.map((at, index) => ({ at, what: `${index} went`, decidedBy: "global" as const }));
    const variants = exampleRun.variants.map((variant) => ({
      ...variant,
      steps: variant.steps.map((step) => ({ ...step, misses, changes })),
    }));
    const html = reportPage({ ...exampleRun, variants });
    expect(faults(html)).toEqual([]);
    expect(html.length).toBeLessThan(300_000);
    expect(html).toContain("more kinds of change; run.json has each");
  });
});
