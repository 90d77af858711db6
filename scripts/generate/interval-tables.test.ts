import { expect, test } from "vitest";
import { splitIntervals } from "./interval-tables.ts";

test("moves intervals to a second table", () => {
  const text = "| file | change | bytes |\n| --- | ---: | ---: |\n| a | 0.1 (−1.0 … +1.2) | 3 |\n| b | 0.2 | 4 |";
  expect(splitIntervals(`Before.\n\n${text}\n\nAfter.`)).toBe(
    `Before.\n\n| file | change | bytes |\n| --- | ---: | ---: |\n| a | 0.1 | 3 |\n| b | 0.2 | 4 |

<details>
<summary>Intervals</summary>

| file | change |
| --- | ---: |
| a | −1.0 … +1.2 |
| b |  |

</details>

After.`,
  );
});

test("keeps a table without intervals", () => {
  const text = "| file | note |\n| --- | --- |\n| a | 2 (of 3) |";
  expect(splitIntervals(text)).toBe(text);
});
