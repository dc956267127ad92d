package org.json;

import java.util.Iterator;
/** Stands in for Android's class where Kotlin is only compiled. */
public class JSONObject {
    public JSONObject() {}
    public JSONObject(String text) {}
    public JSONObject put(String name, Object value) { return this; }
    public JSONObject put(String name, boolean value) { return this; }
    public JSONObject put(String name, double value) { return this; }
    public JSONObject put(String name, int value) { return this; }
    public JSONObject put(String name, long value) { return this; }
    public int getInt(String name) { return 0; }
    public long getLong(String name) { return 0; }
    public double getDouble(String name) { return 0; }
    public String getString(String name) { return ""; }
    public JSONArray getJSONArray(String name) { return null; }
    public JSONObject getJSONObject(String name) { return this; }
    public boolean isNull(String name) { return false; }
    public Iterator<String> keys() { return null; }
}
