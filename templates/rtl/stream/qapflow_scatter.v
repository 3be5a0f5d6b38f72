`timescale 1ns / 1ps
// One beat becomes COUNT, the lowest part first.
module qapflow_scatter #(
    parameter WIDTH = 8,
    parameter COUNT = 2
) (
    input wire clk,
    input wire rst,
    input wire [COUNT*WIDTH-1:0] in_data,
    input wire in_valid,
    output wire in_ready,
    output wire [WIDTH-1:0] out_data,
    output reg out_valid,
    input wire out_ready
);
    localparam BITS = $clog2(COUNT + 1);
    localparam [31:0] LAST = COUNT - 1;
    reg [BITS-1:0] count;
    reg [COUNT*WIDTH-1:0] held;
    wire last = count == LAST[BITS-1:0];

    assign out_data = held[WIDTH-1:0];
    assign in_ready = ~out_valid | (out_ready & last);

    always @(posedge clk) begin
        if (in_valid & in_ready) held <= in_data;
        else if (out_valid & out_ready) held <= {{WIDTH{1'b0}}, held[COUNT*WIDTH-1:WIDTH]};
    end

    always @(posedge clk) begin
        if (rst) begin
            count <= 0;
            out_valid <= 1'b0;
        end else begin
            if (in_valid & in_ready) begin
                count <= 0;
                out_valid <= 1'b1;
            end else if (out_valid & out_ready) begin
                count <= count + 1'b1;
                out_valid <= ~last;
            end
        end
    end
endmodule
