import { defineConfig } from "vite";

export default defineConfig({
  build: {
    outDir: "../src/corll/service/web/static",
    emptyOutDir: true,
    target: "es2022",
    // Data URLs for scripts and styles would need holes in the content-security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
  },
});
