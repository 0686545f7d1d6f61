// Opens files and prints what ImageJ sees, one line a file and one a slice.
files = split(getArgument(), ",");
for (i = 0; i < files.length; i++) {
    open(files[i]);
    getDimensions(width, height, channels, slices, frames);
    getVoxelSize(x, y, z, unit);
    print("image\t" + files[i] + "\t" + width + "\t" + height + "\t" + channels + "\t" + slices
        + "\t" + frames + "\t" + x + "\t" + y + "\t" + unit + "\t" + bitDepth() + "\t"
        + is("composite") + "\t" + Stack.getFrameInterval());
    for (k = 1; k <= nSlices; k++) {
        setSlice(k);
        // Raw values, whatever the calibration; a row's sum is exact.
        sum = 0;
        for (row = 0; row < height; row++)
            for (column = 0; column < width; column++) sum += getPixel(column, row);
        getMinAndMax(low, high);
        getLut(reds, greens, blues);
        print("slice\t" + getInfo("slice.label") + "\t" + d2s(sum, 6) + "\t" + d2s(low, 6) + "\t"
            + d2s(high, 6) + "\t" + reds[255] + "\t" + greens[255] + "\t" + blues[255]);
    }
    close();
}
run("Quit");
