/** The build turns this style into the first rules of the page (studio/vite.config.ts). */
export { sharedStyle } from "../../../src/app/report/index.ts";
