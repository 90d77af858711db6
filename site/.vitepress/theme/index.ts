import theme from "vitepress/theme-without-fonts";
import type { App } from "vue";
import { DropZone } from "./drop-zone.ts";
import "./style.css";

export default {
  extends: theme,
  enhanceApp({ app }: { readonly app: App }) {
    app.component("DropZone", DropZone);
  },
};
