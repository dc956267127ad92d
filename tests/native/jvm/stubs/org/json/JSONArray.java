package org.json;

import java.util.Collection;

/** Stands in for Android's class where Kotlin is only compiled. */
public class JSONArray {
    public JSONArray(String text) {}
    public JSONArray(Collection<?> values) {}
    public int length() { return 0; }
    public String getString(int place) { return ""; }
    public JSONObject getJSONObject(int place) { return null; }
}
